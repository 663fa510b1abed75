"""The admin site: Django's, under Gatehouse's name."""

from django.contrib.admin import AdminSite


class ConsoleSite(AdminSite):
    site_header = "Gatehouse"
    site_title = "Gatehouse"
    index_title = "Console"
    enable_nav_sidebar = True
