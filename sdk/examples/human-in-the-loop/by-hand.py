# needs 3.1
from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLEntryOperator, HITLOperator

from airflow_any import DAG, DEFAULTS, Label, task

with DAG("human_in_the_loop", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def train():
        return {"map50": 0.91}

    @task.branch
    def is_ready(choice):
        return "publish"

    @task
    def publish():
        return 1

    approve = ApprovalOperator(task_id="approve", subject="Publish the model?", body="It was trained on the newest version.")
    when = HITLOperator(task_id="when", subject="When?", options=["Now", "Later"])
    note = HITLEntryOperator(task_id="note", subject="Anything to say?", params={"text": ""})
    train() >> approve >> [when, note]
    is_ready(when.output) >> Label("now") >> publish()
