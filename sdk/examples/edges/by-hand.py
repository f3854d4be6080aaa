from airflow_any import DAG, DEFAULTS, Label, chain, cross_downstream, task

with DAG("edges", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def step(n):
        return n

    a, b, c, d, e, f, g = (step.override(task_id=f"step_{n}")(n) for n in range(1, 8))
    last = step.override(task_id="last")(8)
    chain(a, [b, c], d)
    cross_downstream([d, e], [f, g])
    f >> Label("when all is well") >> last
    g >> last
