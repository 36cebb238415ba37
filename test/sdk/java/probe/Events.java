package probe;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPResponse;
import com.amazonaws.services.lambda.runtime.events.SQSBatchResponse;
import com.amazonaws.services.lambda.runtime.events.SQSEvent;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Handlers of AWS's events library. */
public final class Events {
    public static final class Queue implements RequestHandler<SQSEvent, SQSBatchResponse> {
        @Override
        public SQSBatchResponse handleRequest(SQSEvent event, Context context) {
            List<SQSBatchResponse.BatchItemFailure> failed = new ArrayList<>();
            for (SQSEvent.SQSMessage m : event.getRecords()) {
                context.getLogger().log("got " + m.getBody() + " from " + m.getEventSourceArn());
                if (m.getMessageAttributes().containsKey("bad"))
                    failed.add(new SQSBatchResponse.BatchItemFailure(m.getMessageId()));
            }
            return new SQSBatchResponse(failed);
        }
    }

    public static final class Web
            implements RequestHandler<APIGatewayV2HTTPEvent, APIGatewayV2HTTPResponse> {
        @Override
        public APIGatewayV2HTTPResponse handleRequest(APIGatewayV2HTTPEvent event, Context context) {
            APIGatewayV2HTTPResponse answer = new APIGatewayV2HTTPResponse();
            answer.setStatusCode(201);
            answer.setHeaders(Collections.singletonMap("x-path", event.getRawPath()));
            answer.setBody(event.getRequestContext().getHttp().getMethod() + " "
                    + event.getQueryStringParameters().get("q"));
            return answer;
        }
    }
}
