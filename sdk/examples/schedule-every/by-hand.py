from airflow_any import DAG, DEFAULTS, START, task, timedelta

with DAG("schedule_every", schedule=timedelta(minutes=15), start_date=START, catchup=False, default_args=DEFAULTS):

    @task
    def poll():
        return 1

    poll()
