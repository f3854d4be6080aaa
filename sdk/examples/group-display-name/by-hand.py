# needs 3.0
from airflow_any import DAG, DEFAULTS, TaskGroup, task

with DAG("group_display_name", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def step():
        return 1

    with TaskGroup("checks", group_display_name="All checks ✓"):
        step()
