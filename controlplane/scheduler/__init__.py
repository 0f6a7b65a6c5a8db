"""The scheduler: which node each pod gets.

    informers --> snapshot (columns, one row per node) --+
              --> queue (active, backing off, parked) ---+--> cycle: filters, scores --> Placement or Unschedulable
                                                              loop: assume, bind, forget what the API refused

Glossary: *demand*, what a pod asks of a node; *mask*, a boolean column; *assumed*, counted on a node before the binding
is confirmed; *hint*, an event that may help a pod that fits nowhere; *group*, the pods of one controller.
"""
