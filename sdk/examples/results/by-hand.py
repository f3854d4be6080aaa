from airflow_any import DAG, DEFAULTS, task

with DAG("results", schedule=None, catchup=False, default_args=DEFAULTS):

    @task(multiple_outputs=True)
    def load(*, ti):
        ti.xcom_push("seconds", 12)
        return {"id": "b1", "images": [{"sha256": "ab", "bytes": 10}]}

    @task
    def report(batch):
        return len(batch["images"])

    report(load())
