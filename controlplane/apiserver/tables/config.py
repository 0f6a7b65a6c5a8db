"""The columns of config maps, secrets and service accounts."""

from datetime import datetime

from controlplane.apiserver.tables.columns import AGE, NAME, Cell, Column, Printer, created
from orch.api.configmap import ConfigMap
from orch.api.secret import Secret
from orch.api.serviceaccount import ServiceAccount


def config_map_cells(config_map: ConfigMap, now: datetime) -> list[Cell]:
    count = len(config_map.data or {}) + len(config_map.binary_data or {})
    return [config_map.metadata.name, count, created(config_map, now)]


def secret_cells(secret: Secret, now: datetime) -> list[Cell]:
    return [secret.metadata.name, secret.type or "", len(secret.data or {}), created(secret, now)]


def service_account_cells(account: ServiceAccount, now: datetime) -> list[Cell]:
    return [account.metadata.name, len(account.secrets or ()), created(account, now)]


CONFIGMAPS = Printer((NAME, Column("Data", "integer"), AGE), config_map_cells)
SECRETS = Printer((NAME, Column("Type"), Column("Data", "integer"), AGE), secret_cells)
SERVICEACCOUNTS = Printer((NAME, Column("Secrets", "integer"), AGE), service_account_cells)
