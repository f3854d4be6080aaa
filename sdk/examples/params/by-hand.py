from airflow_any import DAG, DEFAULTS, Param, task

with DAG(
    "params",
    schedule=None,
    catchup=False,
    default_args=DEFAULTS,
    params={
        "name": Param("world", type="string", minLength=1, maxLength=40, title="Name", description="What to greet."),
        "times": Param(3, type="integer", minimum=1, maximum=10),
        "volume": Param("normal", type="string", enum=["quiet", "normal", "loud"], section="Style", description="How loud."),
        "languages": Param(["en"], type="array", items={"type": "string"}, minItems=1),
        "day": Param(None, type=["string", "null"], format="date"),
        "polite": Param(False, type="boolean"),
    },
):

    @task
    def greet(name, times):
        return f"hello {name}" * times

    greet("{{ params.name }}", 3)
