"""The processes: who forks, who lives, who goes, and what a signal does about it.

The walk of a reload goes downwards through these modules:

- `supervisor`: one loop polls for signals, workers, an upgrade and the next deadline. It
  notes that SIGHUP wants a reload, and begins it when nothing is in the way.
- `reload`: reads the configuration, checks it, opens what it wants (`generation`, whose
  `service` s become deployments), and in the end accepts or gives up.
- `plan` and `backoff` decide, as pure functions, which workers are to be started and which
  to go, and how soon; `replacements` remembers what became of them.
- `workers` spawns, hears, signals and reaps; a child's life is in `worker`, what it says in
  `worker_pipe`.

`main_process` is what the first process holds, whether it is a supervisor or serves by
itself (`single`, with the same `reload` and `upgrade`). `embedded` is the supervisor of a
program that calls it step by step.
"""
