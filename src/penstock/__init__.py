"""Penstock, a self-hosted Data Ingestion Service compatible with Huawei Cloud DIS."""

__version__ = "0.1.0"
