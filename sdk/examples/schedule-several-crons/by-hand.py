# needs 3.0
from airflow.sdk import MultipleCronTriggerTimetable

from airflow_any import DAG, DEFAULTS, START, task

DOC = "At half past nine on workdays, and at noon on Sundays."

with DAG(
    "schedule_several_crons",
    description=DOC,
    doc_md=DOC,
    schedule=MultipleCronTriggerTimetable("30 9 * * mon-fri", "0 12 * * sun", timezone="America/New_York"),
    start_date=START,
    catchup=False,
    default_args=DEFAULTS,
):

    @task
    def report():
        return 1

    report()
