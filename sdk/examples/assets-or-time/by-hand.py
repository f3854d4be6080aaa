from airflow_any import DAG, DEFAULTS, START, Asset, CronTriggerTimetable, task

try:
    try:
        from airflow.sdk import AssetOrTimeSchedule
    except ImportError:
        from airflow.timetables.assets import AssetOrTimeSchedule

    schedule = AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 6 * * *", timezone="UTC"), assets=Asset("orders"))
except ImportError:
    from airflow.timetables.datasets import DatasetOrTimeSchedule

    schedule = DatasetOrTimeSchedule(timetable=CronTriggerTimetable("0 6 * * *", timezone="UTC"), datasets=Asset("orders"))  # fmt: skip

with DAG("assets_or_time", schedule=schedule, start_date=START, catchup=False, default_args=DEFAULTS):

    @task
    def report():
        return 1

    report()
