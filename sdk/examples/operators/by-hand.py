# needs providers
from airflow.providers.amazon.aws.operators.s3 import S3CreateObjectOperator
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.slack.operators.slack import SlackAPIPostOperator
from airflow.providers.smtp.operators.smtp import EmailOperator
from airflow.providers.standard.operators.bash import BashOperator

from airflow_any import DAG, DEFAULTS, Param, chain

with DAG("operators", schedule=None, catchup=False, default_args=DEFAULTS, params={"name": Param("day", type="string")}):
    chain(
        BashOperator(task_id="bash", bash_command='echo "$NAME"', env={"NAME": "{{ params.name }}"}, retries=2),
        HttpOperator(task_id="http", http_conn_id="api", endpoint="rates", method="GET"),
        SQLExecuteQueryOperator(task_id="sql", conn_id="warehouse", sql="select 1", split_statements=True),
        DockerOperator(task_id="docker", image="alpine:3", command=["true"]),
        KubernetesPodOperator(task_id="pod", image="alpine:3", cmds=["true"], name="job", namespace="default"),
        S3CreateObjectOperator(task_id="s3", s3_bucket="b", s3_key="k", data="hello"),
        EmailOperator(
            task_id="email", to="team@example.org", subject="Done", html_content="<p>Done</p>", from_email="a@example.org"
        ),
        SlackAPIPostOperator(task_id="slack", channel="#data", text="Done", slack_conn_id="slack"),
    )
    BashOperator.partial(task_id="each").expand(bash_command=["true", "echo 2"])
