from airflow_any import DAG, DEFAULTS, START, task

with DAG("schedule_cron", schedule="30 2 * * mon-fri", start_date=START, catchup=True, default_args=DEFAULTS):

    @task
    def report():
        return 1

    report()
