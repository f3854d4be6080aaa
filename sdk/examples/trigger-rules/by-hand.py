from airflow_any import DAG, DEFAULTS, task

RULES = {
    "if_all_failed": "all_failed",
    "if_all_done": "all_done",
    "if_all_skipped": "all_skipped",
    "if_one_succeeded": "one_success",
    "if_one_failed": "one_failed",
    "if_one_done": "one_done",
    "if_none_failed": "none_failed",
    "if_some_succeeded": "none_failed_min_one_success",
    "if_none_skipped": "none_skipped",
    "whatever": "always",
}

with DAG("trigger_rules", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def work():
        return 1

    @task
    def after():
        return 1

    done = work()
    for task_id, rule in RULES.items():
        done >> after.override(task_id=task_id, trigger_rule=rule)()
