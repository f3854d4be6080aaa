from airflow_any import DAG, DEFAULTS, task, timedelta

with DAG("retries", schedule=None, catchup=False, default_args=DEFAULTS):

    @task(
        retries=4,
        retry_delay=timedelta(seconds=10),
        retry_exponential_backoff=True,
        max_retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(minutes=1),
    )
    def call(url):
        return 200

    call("https://example.org")
