from airflow_any import DAG, DEFAULTS, Label, task

with DAG("branch", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def count():
        return 12

    @task.branch
    def size(n):
        return ["big_load", "note"] if n > 10 else "small_load"

    @task
    def big_load():
        return {"rows": 12}

    @task
    def small_load():
        return {"rows": 1}

    @task
    def note():
        return None

    @task(task_id="sum", trigger_rule="none_failed_min_one_success")
    def add(big, small):
        return (big or {"rows": 0})["rows"]

    chosen = size(count())
    big, small, log = big_load(), small_load(), note()
    chosen >> Label("big") >> big
    chosen >> Label("small") >> small
    chosen >> Label("log") >> log
    add(big, small)
