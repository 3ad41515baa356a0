"""Metrics of what a system can do, by its capability: a file each for classes, conditions, codes, clusters, …"""
