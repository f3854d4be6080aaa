from airflow_any import DAG, task, timedelta

with DAG(
    "defaults",
    schedule=None,
    catchup=False,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "owner": "data-team",
        "queue": "gpu",
        "execution_timeout": timedelta(minutes=10),
    },
    owner_links={"data-team": "https://example.org/data-team"},
    access_control={"Viewer": {"DAGs": {"can_read"}}},
):

    @task
    def work():
        return 1

    @task(retries=5)
    def careful():
        return 2

    work() >> careful()
