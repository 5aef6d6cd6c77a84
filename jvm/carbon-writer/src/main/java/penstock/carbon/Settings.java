package penstock.carbon;

import org.apache.carbondata.core.constants.CarbonCommonConstants;
import org.apache.carbondata.core.util.CarbonProperties;
import org.apache.hadoop.security.UserGroupInformation;

/** What the library is told once. */
final class Settings {
    private Settings() {}

    static void apply() {
        // Hadoop asks the system who runs this, and fails in a container whose account has no name. Files are local, so anybody will do.
        UserGroupInformation.setLoginUser(UserGroupInformation.createRemoteUser("penstock"));
        CarbonProperties properties = CarbonProperties.getInstance();
        properties.addProperty(CarbonCommonConstants.CARBON_WRITTEN_BY_APPNAME, "penstock");
        // Two pages encoded at once race for the numbers of a column's dictionary: the same rows would not give the same bytes.
        properties.addProperty(CarbonCommonConstants.NUM_CORES_LOADING, "1");
        // Rows wait in batches of that many: with the default, 1000, long texts would fill the heap.
        properties.addProperty(CarbonCommonConstants.DATA_LOAD_BATCH_SIZE, "100");
        properties.addProperty(CarbonCommonConstants.ENABLE_OFFHEAP_SORT, "false");
        properties.addProperty(CarbonCommonConstants.ENABLE_QUERY_STATISTICS, "false");
        properties.addProperty(CarbonCommonConstants.CARBON_DATE_FORMAT, "yyyy-MM-dd");
        properties.addProperty(CarbonCommonConstants.CARBON_TIMESTAMP_FORMAT, "yyyy-MM-dd HH:mm:ss.SSS");
    }
}
