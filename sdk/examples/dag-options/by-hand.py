from airflow_any import DAG, DEFAULTS, START, datetime, task, timedelta, timezone

try:
    from airflow.sdk import DAG as _

    fail_fast = {"fail_fast": True}
except ImportError:
    fail_fast = {"fail_stop": True}

with DAG(
    "dag_options",
    dag_display_name="DAG options ☕",
    description="Shows every option of a DAG.",
    doc_md="Shows every option of a DAG. The first sentence is its description.",
    schedule="@hourly",
    start_date=START,
    end_date=datetime(2026, 12, 31, tzinfo=timezone.utc),
    catchup=True,
    max_active_runs=2,
    max_active_tasks=4,
    max_consecutive_failed_dag_runs=3,
    dagrun_timeout=timedelta(hours=2),
    is_paused_upon_creation=True,
    tags=["example", "options"],
    default_args=DEFAULTS,
    **fail_fast,
):

    @task
    def work():
        return 1

    work()
