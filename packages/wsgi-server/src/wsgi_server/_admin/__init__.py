"""What an operator sees and steers: health, metrics, status, control.

An application over the `State` that the process shows it (`state`), and a small HTTP server
for it (`server`) that lives in the one loop that the process has anyway. Nothing in here
knows a supervisor, a worker or an engine.
"""
