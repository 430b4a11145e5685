"""Every name of the two API references that the project was created from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

GLANCE = [
    "APIMapper",
    "APIMapper.routematch",
    "BaseServer",
    "BaseServer.cache_images",
    "BaseServer.configure",
    "BaseServer.configure_socket",
    "BaseServer.create_pool",
    "BaseServer.hup",
    "BaseServer.kill_children",
    "BaseServer.reload",
    "BaseServer.run_child",
    "BaseServer.run_server",
    "BaseServer.set_signal_handler",
    "BaseServer.start",
    "BaseServer.start_wsgi",
    "BaseServer.wait",
    "BaseServer.wait_on_children",
    "Debug",
    "Debug.print_generator",
    "JSONRequestDeserializer",
    "JSONRequestDeserializer.default",
    "JSONRequestDeserializer.from_json",
    "JSONRequestDeserializer.has_body",
    "JSONRequestDeserializer.httpverb_may_have_body",
    "JSONRequestDeserializer.is_valid_encoding",
    "JSONRequestDeserializer.is_valid_method",
    "JSONRequestDeserializer.valid_transfer_encoding",
    "JSONResponseSerializer",
    "JSONResponseSerializer.default",
    "JSONResponseSerializer.to_json",
    "Middleware",
    "Middleware.factory",
    "Middleware.process_request",
    "Middleware.process_response",
    "PosixServer",
    "PosixServer.kill_children",
    "PosixServer.reload",
    "PosixServer.run_child",
    "PosixServer.wait_on_children",
    "RejectMethodController",
    "RejectMethodController.reject",
    "Request",
    "Request.best_match_content_type",
    "Request.best_match_language",
    "Request.body_file",
    "Request.get_content_type",
    "Request.get_range_from_request",
    "Request.params",
    "Resource",
    "Resource.dispatch",
    "Resource.get_action_args",
    "Router",
    "Router.factory",
    "Server",
    "Win32ProcessLauncher",
    "Win32ProcessLauncher.add_process",
    "Win32ProcessLauncher.wait",
    "Win32Server",
    "Win32Server.configure_socket",
    "Win32Server.kill_children",
    "Win32Server.run_child",
    "Win32Server.wait_on_children",
    "get_asynchronous_eventlet_pool",
    "get_bind_addr",
    "get_num_workers",
    "get_socket",
    "initialize_glance_store",
    "initialize_multi_store",
    "register_cli_opts",
    "set_eventlet_hub",
    "ssl_wrap_socket",
    "translate_exception",
]

HEAT = [
    "AppFactory",
    "AppFactory.KEY",
    "BasePasteFactory",
    "BasePasteFactory.KEY",
    "Debug",
    "Debug.print_generator",
    "DefaultMethodController",
    "DefaultMethodController.options",
    "DefaultMethodController.reject",
    "FilterFactory",
    "FilterFactory.KEY",
    "JSONRequestDeserializer",
    "JSONRequestDeserializer.default",
    "JSONRequestDeserializer.from_json",
    "JSONRequestDeserializer.has_body",
    "Middleware",
    "Middleware.process_request",
    "Middleware.process_response",
    "Request",
    "Request.best_match_content_type",
    "Request.best_match_language",
    "Request.get_content_type",
    "Resource",
    "Resource.dispatch",
    "Resource.get_action_args",
    "Router",
    "Server",
    "Server.configure_socket",
    "Server.hup",
    "Server.kill_children",
    "Server.reload",
    "Server.run_server",
    "Server.start",
    "Server.stash_conf_values",
    "Server.wait",
    "debug_filter",
    "get_bind_addr",
    "get_socket",
    "is_json_content_type",
    "log_exception",
    "paste_deploy_app",
    "setup_paste_factories",
    "teardown_paste_factories",
    "translate_exception",
]

exercised: dict[str, set[str]] = {"glance": set(), "heat": set()}

Test = TypeVar("Test", bound=Callable[..., None])


def exercises(service: str, *names: str) -> Callable[[Test], Test]:
    """Notes that a test uses these names of a seed, not merely finds them."""
    known = {"glance": GLANCE, "heat": HEAT}[service]
    unknown = set(names) - set(known)
    if unknown:
        raise ValueError(f"no seed of {service} has {', '.join(sorted(unknown))}")
    exercised[service].update(names)

    def mark(test: Test) -> Test:
        return test

    return mark
