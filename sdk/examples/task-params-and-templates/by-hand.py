from airflow_any import DAG, DEFAULTS, Param, task

with DAG(
    "task_params_and_templates",
    schedule=None,
    catchup=False,
    default_args=DEFAULTS,
    params={"region": Param("eu", type="string")},
):

    @task
    def find():
        return {"id": "b7", "count": 3}

    @task(params={"prefix": "out"})
    def say(path, text, day):
        return path

    found = find()
    say("{{ params.prefix }}/{{ run_id }}", found, "{{ ds }}")
