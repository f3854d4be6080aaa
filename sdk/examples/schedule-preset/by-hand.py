from airflow_any import DAG, DEFAULTS, START, task

with DAG("schedule_preset", schedule="@daily", start_date=START, catchup=False, default_args=DEFAULTS):

    @task
    def report():
        return 1

    report()
