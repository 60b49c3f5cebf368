"""`probe`: measurements that tcptool makes with connections of its own."""
