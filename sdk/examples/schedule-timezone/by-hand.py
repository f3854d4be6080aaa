from airflow_any import DAG, DEFAULTS, START, CronTriggerTimetable, task

with DAG(
    "schedule_timezone",
    schedule=CronTriggerTimetable("0 6 * * mon-fri", timezone="Europe/Berlin"),
    start_date=START,
    catchup=False,
    default_args=DEFAULTS,
):

    @task
    def report():
        return 1

    report()
