from airflow_any import DAG, DEFAULTS, START, CronDataIntervalTimetable, task

with DAG(
    "schedule_interval",
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="Asia/Tokyo"),
    start_date=START,
    catchup=False,
    default_args=DEFAULTS,
):

    @task
    def report():
        return 1

    report()
