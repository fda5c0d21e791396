{{ told_readings(superseded_versions('home_reading', of='wearables'), are_superseded=true) }}
