from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.standard.sensors.external_task import ExternalTaskSensor

from airflow_any import DAG, DEFAULTS, task, timedelta

with DAG("other_dags", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def prepare():
        return {"version": "abc"}

    train = TriggerDagRunOperator(
        task_id="train",
        trigger_dag_id="training_pipeline",
        conf={"version": "{{ ti.xcom_pull(task_ids='prepare')['version'] }}", "epochs": 3},
        wait_for_completion=True,
        poke_interval=10,
    )
    ExternalTaskSensor(
        task_id="wait_for_labels",
        external_dag_id="labeling_pipeline",
        external_task_id="commit_dataset",
        execution_delta=timedelta(hours=1),
        mode="reschedule",
    )
    prepare() >> train
