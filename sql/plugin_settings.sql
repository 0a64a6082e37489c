-- Reads the system settings of one plugin (user_login is empty for those). May hold a
-- password: the caller keeps it on the host. Cost: an index look-up. Locks: none.
SELECT setting_name AS name, setting_value AS value
  FROM {{plugin_setting}}
 WHERE plugin_name = %s AND user_login = ''
