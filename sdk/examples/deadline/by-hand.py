# needs providers
from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier
from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference

from airflow_any import DAG, DEFAULTS, task, timedelta

with DAG(
    "deadline",
    schedule=None,
    catchup=False,
    default_args=DEFAULTS,
    deadline=[
        DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=timedelta(minutes=30),
            callback=AsyncCallback(SlackWebhookNotifier, kwargs={"text": "late"}),
        )
    ],
):

    @task(on_failure_callback=[SlackWebhookNotifier(text="work failed")])
    def work():
        return 1

    work()
