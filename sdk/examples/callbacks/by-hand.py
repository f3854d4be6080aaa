from airflow_any import DAG, DEFAULTS, task


def tell(context):
    print(context["ti"].task_id)


with DAG("callbacks", schedule=None, catchup=False, default_args=DEFAULTS, on_success_callback=[tell], on_failure_callback=[tell]):

    @task(
        retries=1,
        on_execute_callback=[tell],
        on_success_callback=[tell],
        on_failure_callback=[tell, tell],
        on_retry_callback=[tell],
        on_skipped_callback=[tell],
    )
    def work():
        return 1

    work()
