"""The controllers: what is made of what users asked for. One file (or package) each, with one pure `reconcile`.

    informers --keys--> runner: queue --> decide(key, now) --> Decision(actions, status, requeue_after_s, events)
                                              |                      |
                                       reads the caches        actions.perform, then wait until the caches saw it

Glossary: *claim*, which objects a controller object owns; *fleet*, the ReplicaSets of a Deployment; *backends*, the
pods behind a Service; *reference*, an object that is read afresh before a write that must not rest on a stale cache.
"""
