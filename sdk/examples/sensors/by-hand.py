from airflow_any import DAG, DEFAULTS, PokeReturnValue, task, timedelta

with DAG("sensors", schedule=None, catchup=False, default_args=DEFAULTS):

    @task.sensor(mode="reschedule", poke_interval=60, timeout=12 * 3600, soft_fail=True)
    def wait_long(path):
        return PokeReturnValue(is_done=True, xcom_value={"path": path})

    @task.sensor(mode="poke", poke_interval=5, timeout=120)
    def wait_here(path):
        return PokeReturnValue(is_done=True)

    @task.sensor(
        mode="reschedule", poke_interval=30, timeout=7 * 86400, exponential_backoff=True, max_wait=timedelta(minutes=10)
    )
    def wait_more(path):
        return PokeReturnValue(is_done=True)

    wait_here(wait_long("/data/a"))
    wait_more("/data/b")
