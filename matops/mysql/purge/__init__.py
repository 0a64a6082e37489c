"""Deleting Matomo's raw log rows in small transactions, without holding the tracker up."""
