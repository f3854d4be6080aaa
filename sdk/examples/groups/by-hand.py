from airflow_any import DAG, DEFAULTS, TaskGroup, task

with DAG("groups", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def step():
        return 1

    start = step.override(task_id="start")()
    with TaskGroup("load", tooltip="Brings everything in", default_args={"retries": 3, "pool": "small"}) as load:
        rows = step.override(task_id="rows")()
        with TaskGroup("check"):
            rows >> [step.override(task_id="types")(), step.override(task_id="ranges")()]
    with TaskGroup("report", prefix_group_id=False) as report:
        step.override(task_id="write_report")()
    start >> load >> report
