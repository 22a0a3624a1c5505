"""What a user writes: flows, tasks, parameters, and where and how they run. No kopf, kubernetes, docker, pydantic."""
