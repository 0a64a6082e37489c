-- Reads the system settings of all plugins, each value as a digest only (some are passwords).
-- Cost: reads a small table once. Locks: none.
SELECT plugin_name AS plugin, setting_name AS name, SHA2(setting_value, 256) AS digest
  FROM {{plugin_setting}}
 WHERE user_login = ''
 ORDER BY plugin_name, setting_name, idplugin_setting
