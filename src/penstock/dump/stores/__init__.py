"""Stores that files are dumped into: buckets of S3-compatible stores, folders, HDFS. One module each (`dump.base.Store`)."""
