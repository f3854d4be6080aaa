from airflow_any import DAG, DEFAULTS, task

with DAG("setup_teardown", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def start_cluster():
        return {"id": "c1"}

    @task
    def work(cluster):
        return len(cluster["id"])

    @task
    def stop_cluster(cluster):
        return cluster["id"]

    cluster = start_cluster()
    stop = stop_cluster(cluster)
    work(cluster) >> stop
    stop.as_teardown(setups=[cluster], on_failure_fail_dagrun=True)
