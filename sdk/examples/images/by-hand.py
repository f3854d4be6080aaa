# needs providers
from airflow_any import DAG, DEFAULTS, task

with DAG("images", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def prepare():
        return {"version": "v1"}

    @task.docker(image="company/pipelines:1.4", network_mode="bridge", retries=2)
    def train(version):
        return {"model": f"of {version}"}

    @task.kubernetes(image="company/pipelines:1.4", namespace="ml", name="evaluate", do_xcom_push=True)
    def evaluate(model):
        return len(model)

    evaluate(train(prepare()))
