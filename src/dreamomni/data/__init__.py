"""The data engines. Nothing is imported here: data workers must start without torch."""
