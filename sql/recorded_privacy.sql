-- The settings that change a visitor's id (PrivacyManager). Reads: rows of option by primary key.
-- Cost: two rows. Locks: none.
SELECT option_name AS name, option_value AS value
  FROM {{option}}
 WHERE option_name IN ('PrivacyManager.forceCookielessTracking', 'PrivacyManager.anonymizeUserId',
                       'useridsalt')
