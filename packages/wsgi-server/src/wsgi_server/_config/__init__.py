"""From oslo.config to settings: the last room that knows where a value comes from."""
