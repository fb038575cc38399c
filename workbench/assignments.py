"""Which job works for which result."""

from __future__ import annotations

from itertools import count


class Assignments:
    """Results outlive jobs: one may be stopped and taken up again by a later job.

    Only a result's latest job speaks for it; what an earlier one still has to say is dropped.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._result_of: dict[str, str] = {}

    def assign(self, result_id: str) -> str:
        """A new job for a result; returns the job's id."""
        job = f"job-{next(self._numbers)}"
        self._result_of[job] = result_id
        return job

    def job_of(self, result_id: str) -> str | None:
        """The latest job for a result."""
        jobs = [job for job, id in self._result_of.items() if id == result_id]
        return jobs[-1] if jobs else None

    def result_of(self, job: str) -> str | None:
        """The id of the result a job speaks for; None if a later job has taken its place."""
        result_id = self._result_of.get(job)
        if result_id is None or self.job_of(result_id) != job:
            return None
        return result_id

    def rename(self, job: str, result_id: str) -> None:
        """The job's result got another id: its place in the session."""
        before = self._result_of[job]
        for each, id in self._result_of.items():
            if id == before:
                self._result_of[each] = result_id
