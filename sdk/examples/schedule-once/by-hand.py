from airflow_any import DAG, DEFAULTS, START, task

with DAG("schedule_once", schedule="@once", start_date=START, catchup=False, default_args=DEFAULTS):

    @task
    def seed():
        return 1

    seed()
