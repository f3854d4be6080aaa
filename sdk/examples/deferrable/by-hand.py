from airflow_any import DAG, DEFAULTS, PokeReturnValue, task

with DAG("deferrable", schedule=None, catchup=False, default_args=DEFAULTS):
    # The waiting is within the operators: to the scheduler they are a sensor and a task.
    @task.sensor(mode="reschedule", poke_interval=60, timeout=3600)
    def look():
        return PokeReturnValue(is_done=False)

    @task
    def until():
        return None

    @task
    def go():
        return 1

    [look(), until()] >> go()
