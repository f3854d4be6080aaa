from airflow_any import DAG, DEFAULTS, task

with DAG("resources", schedule=None, catchup=False, default_args=DEFAULTS):

    @task(
        pool="gpu",
        pool_slots=2,
        priority_weight=7,
        weight_rule="absolute",
        queue="big",
        executor_config={"memory": "4Gi"},
        max_active_tis_per_dag=3,
        max_active_tis_per_dagrun=2,
        depends_on_past=True,
        wait_for_downstream=True,
    )
    def work():
        return 1

    work()
