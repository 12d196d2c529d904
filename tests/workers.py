"""What a worker process does in tests: importable there by name."""


def echo(job):
    return {"k": job["k"]}


JOBS = [{"k": k, "program": "aaabb"[k]} for k in range(5)]
