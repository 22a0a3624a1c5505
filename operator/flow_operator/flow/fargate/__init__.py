"""A run as a task of Amazon ECS on Fargate: registered once, started, followed to its end.

It is driven from a pod of the flow's image, which is where boto3 comes from: nothing here imports it before it is used.
"""
