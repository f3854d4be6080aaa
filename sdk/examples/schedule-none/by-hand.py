from airflow_any import DAG, DEFAULTS, task

with DAG("schedule_none", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def now():
        return 1

    now()
