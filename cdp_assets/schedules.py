"""The schedules: a clock instead of sensors and automation conditions."""

import dagster as dg

from cdp_assets.jobs import customer_360_job, refresh_profiles_job


def build_schedules(*, unattended: bool) -> list[dg.ScheduleDefinition]:
    """The daily schedules; they start switched on only where work may run unattended."""
    status = dg.DefaultScheduleStatus.RUNNING if unattended else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        job=customer_360_job,
        cron_schedule="15 2 * * *",
        execution_timezone="UTC",
        default_status=status,
        description="Every night: load yesterday's landing day and publish the profiles.",
    )
    def daily_customer_360(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        yesterday = context.scheduled_execution_time.date().toordinal() - 1
        day = context.scheduled_execution_time.date().fromordinal(yesterday).isoformat()
        return dg.RunRequest(run_key=day, partition_key=day)

    # A rule that looks at the calendar (a window that closes) needs a run on quiet days too.
    weekly = dg.ScheduleDefinition(
        name="weekly_refresh",
        job=refresh_profiles_job,
        cron_schedule="0 4 * * 0",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Every Sunday: everything below the raw tables again, as a safety net.",
    )
    return [daily_customer_360, weekly]
