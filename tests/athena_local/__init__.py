"""A small Athena API server for tests: real SQL, on loopback, in front of moto's S3 and Glue."""
